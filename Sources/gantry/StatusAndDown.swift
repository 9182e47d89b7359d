import Agent
import ArgumentParser
import CLinux
import FoundationEssentials
import Glibc
import Network

/// Says whether an instance runs from a data directory. Exit code 0 if it does, 1 if not.
struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Say whether Gantry runs from a data directory.")
  @OptionGroup var common: CommonOptions

  func run() async throws {
    let directory = DataDirectory(path: common.dataDir)
    guard directory.isReadable else {
      throw StartFailure("\(common.dataDir) is private to another user: run it as that user or with sudo")
    }
    guard let pid = directory.runningProcess else {
      throw StartFailure("nothing runs from \(common.dataDir); start it with: gantry up --data-dir \(common.dataDir)")
    }
    GantryCommand.write("running as process \(pid); kubectl --kubeconfig \(common.kubeconfigPath) get nodes", to: STDOUT_FILENO)
  }
}

/// Ends everything that runs from a data directory: server, pods, containerd, mounts, network. The state stays.
struct Down: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "End the server, its pods and everything they need; the state stays.",
    discussion:
      "A server that is only stopped (SIGTERM) leaves its containers running, so that the next one goes on with them. This ends them too."
  )
  @OptionGroup var common: CommonOptions
  @Flag(help: "Delete the data directory too.") var purge = false

  func run() async throws {
    let directory = DataDirectory(path: common.dataDir)
    guard access(common.dataDir, F_OK) == 0 else {
      GantryCommand.write("nothing is there: \(common.dataDir) does not exist", to: STDOUT_FILENO)
      return
    }
    guard geteuid() == 0 else { throw StartFailure("ending pods needs root: run it with sudo") }
    if let pid = directory.runningProcess { try stop(pid) }
    var options = try NodeOptions.parse([])
    let runtime = NodeInstance.Runtime(directory)
    options.containerd = runtime?.containerd
    let node = NodeInstance(common: common, server: try ServerOptions.parse([]), options: options)
    var (network, agent) = try node.configurations(try node.options.name(), directory, url: "https://127.0.0.1:6443", port: 6443)
    if let runtime { network.cniConfDirectory = runtime.cniConfDirectory }
    await Agent.teardown(agent, purge: purge)
    await Network.cleanup(network)
    if purge { try remove(common.dataDir) }
    GantryCommand.write(
      purge ? "ended, and \(common.dataDir) deleted" : "ended; the state stays in \(common.dataDir)", to: STDOUT_FILENO)
  }

  /// Asks the server to end and waits until it has: the kernel wakes us, nothing is polled.
  private func stop(_ pid: pid_t) throws {
    guard kill(pid, SIGTERM) == 0 else { return }
    // It drains for ten seconds at most.
    guard gantry_wait_for_exit(pid, 20_000) == 0 else {
      throw StartFailure("process \(pid) does not end; end it with: kill -9 \(pid)")
    }
  }

  private func remove(_ path: String) throws {
    guard !MountTable.contains(under: path) else {
      throw StartFailure("something is still mounted under \(path); see /proc/mounts")
    }
    do { try FileManager.default.removeItem(atPath: path) } catch { throw StartFailure("cannot delete \(path): \(error)") }
  }
}

enum MountTable {
  static func contains(under directory: String) -> Bool {
    let text = DataDirectory(path: "/proc/self").contents("mounts") ?? ""
    return text.split(separator: "\n").contains { line in
      let fields = line.split(separator: " ")
      return fields.count > 1 && fields[1].hasPrefix(directory + "/")
    }
  }
}
