# What every translation unit is compiled with, and the one function that declares a library room.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(OBD_CCACHE ccache)
if(OBD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${OBD_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${OBD_CCACHE})
endif()

set(OBD_SANITIZE "" CACHE STRING "Sanitizers for all code, as -fsanitize= takes them")
option(OBD_WERROR "Warnings are errors" OFF)

add_library(obd_options INTERFACE)
target_include_directories(obd_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(obd_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wold-style-cast -Wcast-align -Woverloaded-virtual
  -Wconversion -Wsign-conversion -Wnull-dereference -Wimplicit-fallthrough
  # GCC 12 reports these falsely inside coroutine frames, optional/variant and std::string's operator+ (PR105329).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-null-dereference -Wno-mismatched-new-delete -Wno-restrict>
  $<$<BOOL:${OBD_WERROR}>:-Werror>)
if(OBD_SANITIZE)
  add_compile_options(-fsanitize=${OBD_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${OBD_SANITIZE})
  if(OBD_SANITIZE MATCHES "thread")
    # ThreadSanitizer does not know fences, and g++ warns of each. Asio has them around handlers on top of its locks, which
    # is left out, and where it counts references, which does no harm.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
    add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  endif()
  if(OBD_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
      # clang 14 can't assemble its function-type check in coroutines ("Cannot represent a difference across sections").
      # It has to stand behind -fsanitize=undefined.
      add_compile_options(-fno-sanitize=function)
    endif()
  endif()
endif()

# obd_library(NAME SOURCES... ): a static library room. Links are stated by the caller.
function(obd_library name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC obd_options)
endfunction()

# obd_program(NAME SOURCES...): a program that is installed into bin/.
function(obd_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE obd_options)
  install(TARGETS ${name} RUNTIME DESTINATION bin)
endfunction()
