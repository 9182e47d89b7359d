#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int gantry_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
  return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

int gantry_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  return mount(source, target, type, flags, data);
}

int gantry_unmount(const char *target) { return umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW); }

int gantry_watch_path(const char *path) {
  int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return -1;
  if (inotify_add_watch(fd, path, IN_MODIFY | IN_ATTRIB | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF) < 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

pid_t gantry_spawn_daemon(const char *program, char *const arguments[], char *const environment[], const char *log) {
  int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (out < 0) return -1;
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  // Twice, so that init is its parent: it outlives us and never becomes our zombie. The pid comes back through a pipe.
  int pipes[2];
  if (null < 0 || pipe2(pipes, O_CLOEXEC) < 0) {
    int error = errno;
    close(out);
    if (null >= 0) close(null);
    errno = error;
    return -1;
  }
  pid_t first = fork();
  if (first == 0) {
    setsid();
    pid_t second = fork();
    if (second != 0) {
      if (write(pipes[1], &second, sizeof second) < 0) _exit(1);
      _exit(0);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    umask(022);
    dup2(null, 0);
    dup2(out, 1);
    dup2(out, 2);
    syscall(SYS_close_range, 3u, ~0u, 0u);
    execve(program, arguments, environment);
    _exit(127);
  }
  pid_t daemon = -1;
  if (first > 0) {
    int status;
    while (waitpid(first, &status, 0) < 0 && errno == EINTR) {}
    if (read(pipes[0], &daemon, sizeof daemon) != sizeof daemon) daemon = -1;
  }
  close(out);
  close(null);
  close(pipes[0]);
  close(pipes[1]);
  return daemon;
}

int gantry_mkfifo(const char *path, unsigned mode) { return mkfifo(path, mode); }

#include <malloc.h>

void gantry_trim_heap(void) { malloc_trim(0); }

#include <sys/mman.h>

int gantry_memory_file(const char *label) { return memfd_create(label, MFD_CLOEXEC); }

#include <spawn.h>

int gantry_spawn(pid_t *pid, const char *program, char *const arguments[], char *const environment[], const int files[3]) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  int error = posix_spawn_file_actions_init(&actions);
  if (error) return error;
  if ((error = posix_spawnattr_init(&attributes))) {
    posix_spawn_file_actions_destroy(&actions);
    return error;
  }
  for (int i = 0; i < 3 && !error; i++) error = posix_spawn_file_actions_adddup2(&actions, files[i], i);
  if (!error) error = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  if (!error) error = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!error) error = posix_spawnattr_setsigmask(&attributes, &none);
  if (!error) error = posix_spawnattr_setpgroup(&attributes, 0);
  if (!error)
    error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  if (!error) error = posix_spawn(pid, program, &actions, &attributes, arguments, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>

int gantry_watch_tables(void) {
  int handle = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
  if (handle < 0) return -1;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1u << (NFNLGRP_NFTABLES - 1)};
  if (bind(handle, (struct sockaddr *)&address, sizeof address) == 0) return handle;
  int error = errno;
  close(handle);
  errno = error;
  return -1;
}

/// Whether the message's attributes name the table.
static int names_table(const struct nlmsghdr *message, const char *name) {
  size_t offset = NLMSG_LENGTH(sizeof(struct nfgenmsg));
  while (offset + NLA_HDRLEN <= message->nlmsg_len) {
    const struct nlattr *attribute = (const struct nlattr *)((const char *)message + offset);
    size_t length = attribute->nla_len;
    if (length < NLA_HDRLEN || offset + length > message->nlmsg_len) return 0;
    const char *text = (const char *)attribute + NLA_HDRLEN;
    size_t size = strlen(name) + 1;
    if ((attribute->nla_type & NLA_TYPE_MASK) == NFTA_TABLE_NAME)
      return length - NLA_HDRLEN == size && memcmp(text, name, size) == 0;
    offset += NLA_ALIGN(length);
  }
  return 0;
}

int gantry_table_went(int handle, const char *name) {
  _Alignas(struct nlmsghdr) char buffer[32768];
  int went = 0;
  for (;;) {
    ssize_t count = recv(handle, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == ENOBUFS) {
      went = 1;
      continue;
    }
    if (count <= 0) return went;
    size_t left = (size_t)count;
    for (const struct nlmsghdr *message = (const struct nlmsghdr *)buffer; NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE) && names_table(message, name)) went = 1;
      if (message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE) && names_table(message, name)) went = 0;
    }
  }
}

#include <poll.h>
#include <sys/syscall.h>

int gantry_wait_for_exit(pid_t pid, int milliseconds) {
  int handle = (int)syscall(SYS_pidfd_open, pid, 0);
  if (handle < 0) return 0;
  struct pollfd poller = {.fd = handle, .events = POLLIN};
  int ready = poll(&poller, 1, milliseconds);
  close(handle);
  return ready == 1 ? 0 : 1;
}

// libdispatch looks every second, for ever, whether its workers are blocked (so that it may start more): the one thing that would wake an
// idle process. Ours do not block; every ten seconds is enough. The executable alone is linked with --wrap, hence the weak symbol.
#define SECOND 1000000000ull
extern void __real_dispatch_source_set_timer(void *source, uint64_t start, uint64_t interval, uint64_t leeway) __attribute__((weak));

void __wrap_dispatch_source_set_timer(void *source, uint64_t start, uint64_t interval, uint64_t leeway) {
  if (interval == SECOND && leeway == 0) interval = 10 * SECOND;
  if (__real_dispatch_source_set_timer) __real_dispatch_source_set_timer(source, start, interval, leeway);
}

static int termination_pipe[2];

static void tell_termination(int number) {
  int saved = errno;
  unsigned char byte = (unsigned char)number;
  // A full pipe has told enough.
  ssize_t written = write(termination_pipe[1], &byte, 1);
  (void)written;
  errno = saved;
}

int gantry_termination_pipe(void) {
  if (pipe2(termination_pipe, O_CLOEXEC | O_NONBLOCK) < 0) return -1;
  struct sigaction action = {.sa_handler = tell_termination, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0) return -1;
  return termination_pipe[0];
}
