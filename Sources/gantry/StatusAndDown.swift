import ArgumentParser
import Glibc

/// Says whether an instance runs from a data directory. Exit code 0 if it does, 1 if not.
struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Say whether Gantry runs from a data directory.")
  @OptionGroup var common: CommonOptions

  func run() async throws {
    guard let pid = DataDirectory(path: common.dataDir).runningProcess else {
      throw StartFailure("nothing runs from \(common.dataDir); start it with: gantry up --data-dir \(common.dataDir)")
    }
    GantryCommand.write("running as process \(pid); kubectl --kubeconfig \(common.kubeconfigPath) get nodes", to: STDOUT_FILENO)
  }
}
