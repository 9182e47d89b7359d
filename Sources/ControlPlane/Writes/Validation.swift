import Cache
import Client
import Schema
import Wire

/// The rules of the table, and what holds for the metadata of every kind.
enum Validation {
  static func check(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    guard object["metadata"]["name"].string?.isEmpty == false else {
      return [.required("metadata.name", "name or generateName is required")]
    }
    return []
  }
}
