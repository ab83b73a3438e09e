// pingpong DEPTH REPLY_BYTES SECONDS [spin]: what TCP on 127.0.0.1 gives, the bound for any target here.
//
// A client keeps DEPTH requests of 48 bytes (an iSCSI header) outstanding, a server answers each with REPLY_BYTES and
// all the requests of one receive with one send. spin: both sides poll their sockets instead of sleeping in them.
// Prints round trips per second. Two processes, as initiator and target are.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { request_bytes = 48, most_depth = 64 };

static int receive_flags;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// At least one byte; 0 when the other side is gone.
static size_t receive_some(int connection, char* buffer, size_t room) {
    for (;;) {
        ssize_t got = recv(connection, buffer, room, receive_flags);
        if (got >= 0) return (size_t)got;
        if (errno != EAGAIN && errno != EINTR) return 0;
    }
}

// Sends `count` copies of `reply` by as few calls as the socket takes; 0 when the other side is gone.
static int send_replies(int connection, char* reply, size_t reply_bytes, size_t count) {
    struct iovec parts[most_depth];
    size_t left = count * reply_bytes;
    while (left > 0) {
        size_t first = left % reply_bytes ? left % reply_bytes : reply_bytes;  // what is left of a reply sent in part
        size_t used = 0, covered = 0;
        while (covered < left) {
            size_t length = used == 0 ? first : reply_bytes;
            parts[used++] = (struct iovec){reply + (reply_bytes - length), length};
            covered += length;
        }
        ssize_t sent = writev(connection, parts, (int)used);
        if (sent <= 0) return 0;
        left -= (size_t)sent;
    }
    return 1;
}

static void serve(int connection, size_t reply_bytes) {
    static char requests[request_bytes * most_depth];
    char* reply = calloc(1, reply_bytes);
    size_t have = 0;
    for (;;) {
        size_t got = receive_some(connection, requests + have, sizeof requests - have);
        if (got == 0) return;
        have += got;
        size_t whole = have / request_bytes;
        have %= request_bytes;
        if (whole > 0 && !send_replies(connection, reply, reply_bytes, whole)) return;
    }
}

static double ask(int connection, size_t depth, size_t reply_bytes, double seconds) {
    static char requests[request_bytes * most_depth];
    size_t room = reply_bytes * depth < (1u << 20) ? reply_bytes * depth : (1u << 20), have = 0, done = 0;
    char* replies = malloc(room);
    double start = now(), passed = 0;
    if (write(connection, requests, depth * request_bytes) < 0) return 0;
    while (passed < seconds) {
        size_t got = receive_some(connection, replies, room);
        if (got == 0) break;
        have += got;
        size_t whole = have / reply_bytes;
        have %= reply_bytes;
        done += whole;
        if (whole > 0 && write(connection, requests, whole * request_bytes) < 0) break;
        passed = now() - start;
    }
    free(replies);
    return (double)done / passed;
}

int main(int count, char** words) {
    size_t depth = count > 1 ? (size_t)atoi(words[1]) : 0, reply_bytes = count > 2 ? (size_t)atoi(words[2]) : 0;
    if (count < 4 || depth < 1 || depth > most_depth || reply_bytes < 1) {
        fprintf(stderr, "pingpong DEPTH(1..%d) REPLY_BYTES SECONDS [spin]\n", most_depth);
        return 2;
    }
    receive_flags = count > 4 && strcmp(words[4], "spin") == 0 ? MSG_DONTWAIT : 0;

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), near = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr*)&address, length) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr*)&address, &length) ||
        connect(near, (struct sockaddr*)&address, length)) {
        perror("pingpong");
        return 1;
    }
    int far = accept(listener, NULL, NULL);
    setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    signal(SIGPIPE, SIG_IGN);
    pid_t server = fork();
    if (server == 0) {
        close(near);
        serve(far, reply_bytes);
        _exit(0);
    }
    close(far);
    printf("%.0f\n", ask(near, depth, reply_bytes, atof(words[3])));
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return 0;
}
