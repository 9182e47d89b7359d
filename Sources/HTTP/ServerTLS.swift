import NIOCore
import NIOSSL
import Synchronization

/// Certificate, key and client CAs of a listener.
package struct ServerTLS: Sendable {
  /// PEM: the serving certificate, then its intermediates.
  package var certificateChain: [UInt8]
  /// PEM.
  package var privateKey: [UInt8]
  /// PEM: who may vouch for client certificates. Empty: none is asked for. A client need not present one; what it presents must verify.
  package var clientCAs: [UInt8]

  package init(certificateChain: [UInt8], privateKey: [UInt8], clientCAs: [UInt8] = []) {
    self.certificateChain = certificateChain
    self.privateKey = privateKey
    self.clientCAs = clientCAs
  }

  func context() throws(HTTPServerError) -> NIOSSLContext {
    do {
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMBytes(certificateChain).map { .certificate($0) },
        privateKey: .privateKey(try NIOSSLPrivateKey(bytes: privateKey, format: .pem)))
      configuration.applicationProtocols = ["h2", "http/1.1"]
      configuration.minimumTLSVersion = .tlsv12
      if !clientCAs.isEmpty {
        configuration.certificateVerification = .optionalVerification
        configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(clientCAs))
        // Go's clients choose their certificate by these names.
        configuration.sendCANameList = true
      }
      return try NIOSSLContext(configuration: configuration)
    } catch {
      throw .certificate("\(error)")
    }
  }
}

/// How a client speaks TLS.
package struct ClientTLS: Sendable {
  /// PEM: whom to trust. nil: the system's roots.
  package var trustRoots: [UInt8]?
  /// PEM, both or neither.
  package var certificateChain: [UInt8]?
  package var privateKey: [UInt8]?
  /// The name to verify; the host where nil. An address is verified as such.
  package var serverName: String?

  package init(
    trustRoots: [UInt8]? = nil, certificateChain: [UInt8]? = nil, privateKey: [UInt8]? = nil, serverName: String? = nil
  ) {
    self.trustRoots = trustRoots
    self.certificateChain = certificateChain
    self.privateKey = privateKey
    self.serverName = serverName
  }

  func context(protocols: [String]) throws -> NIOSSLContext {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.applicationProtocols = protocols
    if let trustRoots { configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(trustRoots)) }
    if let certificateChain, let privateKey {
      configuration.certificateChain = try NIOSSLCertificate.fromPEMBytes(certificateChain).map { .certificate($0) }
      configuration.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: privateKey, format: .pem))
    }
    return try NIOSSLContext(configuration: configuration)
  }
}
