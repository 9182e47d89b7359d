import CZlib
import HTTP
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(5))) struct GzipTests {
  /// What a gzip stream holds; nil where it is broken or not ended.
  private func inflated(_ bytes: [UInt8], limit: Int) -> [UInt8]? {
    var stream = z_stream()
    guard inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { return nil }
    defer { inflateEnd(&stream) }
    var input = bytes
    var out = [UInt8](repeating: 0, count: limit)
    let code = input.withUnsafeMutableBufferPointer { input in
      out.withUnsafeMutableBufferPointer { out in
        stream.next_in = input.baseAddress
        stream.avail_in = UInt32(input.count)
        stream.next_out = out.baseAddress
        stream.avail_out = UInt32(out.count)
        return inflate(&stream, Z_FINISH)
      }
    }
    return code == Z_STREAM_END ? Array(out.prefix(Int(stream.total_out))) : nil
  }

  @Test(
    "a large answer goes out in gzip to those who take it, whole or in pieces",
    arguments: ["/compressible", "/compressible-stream"], [HTTPClient.Version.http1, .http2])
  func large(path: String, version: HTTPClient.Version) async throws {
    try await Server.with(tls: true) { server in
      let client = server.client(version)
      defer { client.close() }
      for size in [1001, 70_000, 3_000_000] {
        let response = try await client.request("GET", "\(path)?\(size)", headers: [("accept-encoding", "br, gzip;q=0.8")])
        #expect(response["content-encoding"] == "gzip" && response["vary"] == "Accept-Encoding")
        let bytes = try await response.bytes()
        #expect(bytes.count < size && inflated(bytes, limit: size + 1) == [UInt8](repeating: 7, count: size))
      }
    }
  }

  @Test(
    "what is small, or not asked for in gzip, goes out as it is",
    arguments: [
      ("/compressible?1000", "gzip"), ("/compressible?5000", ""), ("/compressible?5000", "gzip;q=0, br"), ("/big?5000", "gzip"),
    ])
  func plain(target: String, accepts: String) async throws {
    try await Server.with { server in
      let client = server.client()
      defer { client.close() }
      let response = try await client.request("GET", target, headers: accepts.isEmpty ? [] : [("accept-encoding", accepts)])
      #expect(response["content-encoding"] == nil)
      let bytes = try await response.bytes()
      #expect(bytes.count == Int(target.split(separator: "?")[1]) && bytes.allSatisfy { $0 == 7 })
    }
  }
}
