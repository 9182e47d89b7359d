import Cache
import Client
import Schema
import Wire

/// Field ownership: `metadata.managedFields` after every write, whoever made it.
enum Ownership {
  static func record(_ object: inout Value, old: Value?, _ context: WriteContext) {
    if let old { object["metadata"]["managedFields"] = old["metadata"]["managedFields"] }
    if object["metadata"]["managedFields"].array?.isEmpty != false { object["metadata"].remove("managedFields") }
  }
}
