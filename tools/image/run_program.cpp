#include "tools/image/run_program.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

extern char** environ;

namespace obd::tools {

result<int> run_program(const std::vector<std::string>& words, const std::string& package) {
    std::vector<char*> arguments;
    for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    pid_t child = 0;
    int error = ENOENT;
    for (const char* folder : {"/usr/sbin/", "/sbin/", "/usr/bin/", "/usr/local/bin/"}) {
        error = ::posix_spawn(&child, (folder + words[0]).c_str(), &actions, nullptr, arguments.data(), environ);
        if (error != ENOENT) break;
    }
    posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT) return fail(errc::not_found, words[0] + ": not installed (package " + package + ")");
    if (error != 0) return fail_errno(words[0], error);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return fail_errno(words[0]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

}  // namespace obd::tools
