import Crypto
import Wire

/// The image of every pod's sandbox, made by the agent itself: one static program of some 180 bytes that waits for ever.
///
/// So a bare machine needs neither a registry nor a compiler to start its first pod. As init of a shared process namespace the
/// program reaps what is left to it (SIGCHLD is ignored, so the kernel does it).
enum PauseImage {
  static let name = "registry.gantry.internal/pause:1"

  #if arch(arm64)
    private static let architecture = "arm64"
    private static let machine: UInt16 = 183
    private static var code: [UInt8] {
      func move(_ register: UInt32, _ value: UInt32) -> UInt32 { 0xd280_0000 | value << 5 | register }
      let call: UInt32 = 0xd400_0001
      // rt_sigaction(SIGCHLD, &action, 0, 8); for (;;) ppoll(0, 0, 0, 0);
      let words: [UInt32] = [
        move(8, 134), move(0, 17), 0x1000_0000 | 11 << 5 | 1, move(2, 0), move(3, 8), call,
        move(0, 0), move(1, 0), move(2, 0), move(3, 0), move(8, 73), call, 0x17ff_fffa,
      ]
      return words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) } } + action
    }
  #else
    private static let architecture = "amd64"
    private static let machine: UInt16 = 62
    private static var code: [UInt8] {
      // rt_sigaction(SIGCHLD, &action, 0, 8); for (;;) pause();
      [
        0xb8, 13, 0, 0, 0, 0xbf, 17, 0, 0, 0, 0x48, 0x8d, 0x35, 23, 0, 0, 0, 0x31, 0xd2, 0x41, 0xba, 8, 0, 0, 0, 0x0f, 0x05,
        0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7, 0x90, 0x90, 0x90, 0x90,
      ] + action
    }
  #endif

  /// SIG_IGN, SA_NOCLDWAIT, no restorer, no mask.
  private static var action: [UInt8] { [1, 0, 0, 0, 0, 0, 0, 0, 2] + [UInt8](repeating: 0, count: 23) }

  /// A static ELF executable with one segment.
  static var program: [UInt8] {
    var bytes: [UInt8] = []
    func put(_ value: UInt64, _ width: Int) {
      for i in 0..<width { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * i))) }
    }
    let code = code
    let base: UInt64 = 0x400000
    bytes += [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    put(2, 2)
    put(UInt64(machine), 2)
    put(1, 4)
    put(base + 120, 8)
    put(64, 8)
    put(0, 8)
    put(0, 4)
    put(64, 2)
    put(56, 2)
    put(1, 2)
    put(0, 2)
    put(0, 2)
    put(0, 2)
    // PT_LOAD, read and execute.
    put(1, 4)
    put(5, 4)
    put(0, 8)
    put(base, 8)
    put(base, 8)
    put(UInt64(120 + code.count), 8)
    put(UInt64(120 + code.count), 8)
    put(0x10000, 8)
    return bytes + code
  }

  /// The image as a file that `ctr images import` takes.
  static var archive: [UInt8] {
    let layer = Tar.archive([(name: "pause", mode: 0o755, bytes: program)])
    let digest = hex(layer)
    let config: Value = [
      "architecture": .string(architecture), "os": "linux", "config": ["Entrypoint": ["/pause"]],
      "rootfs": ["type": "layers", "diff_ids": [.string("sha256:\(digest)")]],
    ]
    let configBytes = Array(config.json.utf8)
    let configName = "\(hex(configBytes)).json"
    let manifest: Value = [["Config": .string(configName), "RepoTags": [.string(name)], "Layers": ["layer.tar"]]]
    return Tar.archive([
      (name: configName, mode: 0o644, bytes: configBytes), (name: "layer.tar", mode: 0o644, bytes: layer),
      (name: "manifest.json", mode: 0o644, bytes: Array(manifest.json.utf8)),
    ])
  }
}

/// Files as a ustar archive.
enum Tar {
  static func archive(_ files: [(name: String, mode: Int, bytes: [UInt8])]) -> [UInt8] {
    var out: [UInt8] = []
    for file in files {
      var header = [UInt8](repeating: 0, count: 512)
      func put(_ text: String, at offset: Int) { for (i, byte) in text.utf8.enumerated() { header[offset + i] = byte } }
      func octal(_ value: Int, _ width: Int) -> String {
        let digits = String(value, radix: 8)
        return String(repeating: "0", count: max(0, width - 1 - digits.count)) + digits
      }
      put(String(file.name.prefix(100)), at: 0)
      put(octal(file.mode, 8), at: 100)
      put(octal(0, 8), at: 108)
      put(octal(0, 8), at: 116)
      put(octal(file.bytes.count, 12), at: 124)
      put(octal(0, 12), at: 136)
      put("        ", at: 148)
      put("0", at: 156)
      put("ustar", at: 257)
      put("00", at: 263)
      put(octal(header.reduce(0) { $0 + Int($1) }, 7), at: 148)
      header[154] = 0
      out += header + file.bytes + [UInt8](repeating: 0, count: (512 - file.bytes.count % 512) % 512)
    }
    return out + [UInt8](repeating: 0, count: 1024)
  }
}

private func hex(_ bytes: [UInt8]) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(decoding: SHA256.hash(data: bytes).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
