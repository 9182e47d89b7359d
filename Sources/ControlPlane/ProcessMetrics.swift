import Glibc

/// Memory, processor time and files of this process, under the names that every Prometheus exporter uses.
enum ProcessMetrics {
  static func lines() -> [String] {
    var lines: [String] = []
    func add(_ name: String, _ type: String, _ value: some CustomStringConvertible) {
      lines += ["# TYPE \(name) \(type)", "\(name) \(value)"]
    }
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    add(
      "process_cpu_seconds_total", "counter",
      Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6)
    let pages = line("/proc/self/statm").split(separator: " ").compactMap { Int($0) }
    if pages.count > 1 {
      let size = Int(sysconf(Int32(_SC_PAGESIZE)))
      add("process_resident_memory_bytes", "gauge", pages[1] * size)
      add("process_virtual_memory_bytes", "gauge", pages[0] * size)
    }
    if let start = startTime() { add("process_start_time_seconds", "gauge", start) }
    if let count = openFiles() { add("process_open_fds", "gauge", count) }
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 { add("process_max_fds", "gauge", limit.rlim_cur) }
    return lines
  }

  /// Seconds since 1970: the boot's, and the ticks of the process since then.
  private static func startTime() -> Double? {
    // The program's name, in parentheses, may hold spaces; behind it the fields are numbers. Source: proc(5), field 22.
    let stat = line("/proc/self/stat")
    guard let end = stat.lastIndex(of: ")") else { return nil }
    let rest = stat[end...].split(separator: " ").dropFirst()
    guard rest.count > 19, let ticks = Double(rest[rest.startIndex + 19]),
      let boot = line("/proc/stat", prefix: "btime ").split(separator: " ").last.flatMap({ Double($0) })
    else { return nil }
    return boot + ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  private static func openFiles() -> Int? {
    guard let directory = opendir("/proc/self/fd") else { return nil }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    // `.`, `..` and the directory itself.
    return count - 3
  }

  /// The first line of a file that begins so; "" where there is none.
  private static func line(_ path: String, prefix: String = "") -> String {
    guard let file = fopen(path, "re") else { return "" }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 4096)
    while fgets(&buffer, Int32(buffer.count), file) != nil {
      let text = String(decoding: buffer.prefix { $0 != 0 && $0 != 10 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      if text.hasPrefix(prefix) { return text }
    }
    return ""
  }
}
