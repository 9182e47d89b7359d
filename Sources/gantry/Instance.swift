/// One running instance: opens what a command asked for, in order, and closes it in the opposite one.
struct Instance {
  let common: CommonOptions
  let server: ServerOptions
  let node: NodeOptions?

  func run() async throws {}
}
