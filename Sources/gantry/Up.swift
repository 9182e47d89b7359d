import ArgumentParser

/// One machine, everything: control plane and node.
struct Up: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Run a whole cluster on this machine.")
  @OptionGroup var common: CommonOptions
  @OptionGroup var server: ServerOptions
  @OptionGroup var node: NodeOptions

  func run() async throws {
    common.startLogging()
    try await Instance(common: common, server: server, node: node).run()
  }
}

/// A control plane without a node.
struct Server: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Run a control plane without a node.")
  @OptionGroup var common: CommonOptions
  @OptionGroup var server: ServerOptions

  func run() async throws {
    common.startLogging()
    try await Instance(common: common, server: server, node: nil).run()
  }
}
