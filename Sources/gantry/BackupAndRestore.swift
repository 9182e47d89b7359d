import ArgumentParser
import ControlPlane
import Glibc
import Store

/// Copies the datastore, also of a server that runs.
struct Backup: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Copy the datastore into one file, also while the server runs.",
    discussion: "Secrets in it are sealed with the server-token of the data directory: keep that too, elsewhere.")
  @OptionGroup var common: CommonOptions
  @Option(help: DatastoreOption.help) var datastore: String?
  @Argument(help: "The file to write; must not exist.") var file: String

  func validate() throws { try DatastoreOption.validate(datastore) }

  func run() async throws {
    let source = DatastoreOption.path(datastore, in: common.dataDir)
    do { try SQLiteStore.backup(source, to: file) } catch { throw StartFailure("\(error)") }
    GantryCommand.write("\(source) copied to \(file); what it seals needs \(common.dataDir)/server-token", to: STDOUT_FILENO)
  }
}

/// Makes a datastore of a backup.
struct Restore: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make the datastore of a backup; its revisions go on above everything that was lost.",
    discussion: "The data directory must hold the server-token that the backup was sealed with, and no datastore.")
  @OptionGroup var common: CommonOptions
  @Option(help: DatastoreOption.help) var datastore: String?
  @Argument(help: "A file that gantry backup wrote.") var file: String

  func validate() throws { try DatastoreOption.validate(datastore) }

  func run() async throws {
    guard access(file, R_OK) == 0 else { throw StartFailure("cannot read \(file): \(String(cString: strerror(errno)))") }
    let directory = DataDirectory(path: common.dataDir)
    try directory.prepare()
    let lock = try directory.lock()
    defer { lock.release() }
    let target = DatastoreOption.path(datastore, in: common.dataDir)
    let token = try directory.serverToken(of: file)
    do { try SQLiteStore.restore(file, to: target) } catch { throw StartFailure("\(error)") }
    do {
      let store = try SQLiteStore(.init(path: target))
      defer { store.close() }
      _ = try ServerIdentity(store: store, sealer: Sealer(token: token))
    } catch {
      for suffix in ["", "-wal", "-shm", ".lock", ".reserve"] { unlink(target + suffix) }
      throw error
    }
    unlink("\(directory.path)/\(DataDirectory.clusterFile)")
    GantryCommand.write("\(target) made of \(file); start with: gantry up --data-dir \(common.dataDir)", to: STDOUT_FILENO)
  }
}

/// `--datastore`, wherever a command takes it.
enum DatastoreOption {
  static let help: ArgumentHelp = "sqlite:///PATH; state.db in the data directory where none is given."
  private static let scheme = "sqlite://"

  static func validate(_ text: String?) throws {
    if let text, !text.hasPrefix("\(scheme)/") {
      throw ValidationError("--datastore \(text): this version knows sqlite:///PATH (etcd comes later)")
    }
  }

  static func path(_ text: String?, in dataDirectory: String) -> String {
    text.map { String($0.dropFirst(scheme.count)) } ?? "\(dataDirectory)/state.db"
  }
}
