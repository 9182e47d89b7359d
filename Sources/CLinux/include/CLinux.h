#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Calls of Linux that Swift cannot make itself. All return -1 and set errno where they fail.

/// openat2(2). `resolve`: GANTRY_RESOLVE_*.
int gantry_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
#define GANTRY_RESOLVE_NO_XDEV 0x01
#define GANTRY_RESOLVE_BENEATH 0x08
#define GANTRY_RESOLVE_IN_ROOT 0x10
#define GANTRY_O_PATH 010000000

int gantry_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
#define GANTRY_MS_NOSUID 2
#define GANTRY_MS_NODEV 4
#define GANTRY_MS_BIND 4096
/// umount2 with MNT_DETACH and UMOUNT_NOFOLLOW.
int gantry_unmount(const char *target);

/// inotify on one file or directory: modified, attributes, moved, created, deleted. Nonblocking, close-on-exec.
int gantry_watch_path(const char *path);

/// Starts a program in a session of its own, its output appended to `log`, all other descriptors closed. Returns its pid.
pid_t gantry_spawn_daemon(const char *program, char *const arguments[], char *const environment[], const char *log);

/// mkfifo that a caller in Swift can reach whatever its headers say.
int gantry_mkfifo(const char *path, unsigned mode);
/// ioctl(TIOCSWINSZ) and friends are not needed: containerd owns terminals.

/// Gives the pages that malloc keeps free back to the system. Milliseconds for a heap of 100 MB; other threads' calls of malloc wait.
void gantry_trim_heap(void);

/// A file without a name or a place on a disk, for reading and writing, close-on-exec.
int gantry_memory_file(const char *label);

/// posix_spawn of a program in a process group of its own with all signals at their defaults and none blocked, `files` as its standard
/// descriptors and no others. Returns 0 or an error number.
int gantry_spawn(pid_t *pid, const char *program, char *const arguments[], char *const environment[], const int files[3]);

/// A nonblocking, close-on-exec socket that becomes readable when somebody changes nftables in this network namespace.
int gantry_watch_tables(void);
/// Reads what such a socket has: 1 where a table of this name went and did not come back, or where more happened than could be told.
int gantry_table_went(int socket, const char *name);

/// Waits until a process has ended: 0 when it has, 1 after `milliseconds`.
int gantry_wait_for_exit(pid_t pid, int milliseconds);

/// From now on SIGTERM and SIGINT write their number as a byte into the pipe whose reading end is returned, and end nothing by themselves.
/// Once a process. Unlike a signalfd it needs no mask on threads that exist already, and unlike an ignored signal none is lost before
/// somebody listens.
int gantry_termination_pipe(void);
