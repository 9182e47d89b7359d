import Glibc

/// IP addresses as text.
enum AddressText {
  /// 4 or 16 bytes in network order, or nil where the text is no address.
  static func bytes(_ text: String) -> [UInt8]? {
    for (family, length) in [(AF_INET, 4), (AF_INET6, 16)] {
      var bytes = [UInt8](repeating: 0, count: length)
      if inet_pton(family, text, &bytes) == 1 { return bytes }
    }
    return nil
  }
}
