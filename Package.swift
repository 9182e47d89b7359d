// swift-tools-version:6.1
import PackageDescription

// The rooms of the house, lowest first. An arrow of import points down only; docs/architecture.md draws them.

let nio: [Target.Dependency] = [
  .product(name: "NIOCore", package: "swift-nio"),
  .product(name: "NIOPosix", package: "swift-nio"),
]
let http2: [Target.Dependency] = [
  .product(name: "NIOHTTP1", package: "swift-nio"),
  .product(name: "NIOTLS", package: "swift-nio"),
  .product(name: "NIOHTTP2", package: "swift-nio-http2"),
  .product(name: "NIOSSL", package: "swift-nio-ssl"),
]
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("MemberImportVisibility"),
]

func room(
  _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = [], linker: [LinkerSetting] = [], tests: Bool = true
) -> [Target] {
  let target = Target.target(
    name: name, dependencies: dependencies, exclude: exclude, swiftSettings: settings, linkerSettings: linker)
  guard tests else { return [target] }
  // A test may use whatever its room may use.
  return [
    target,
    .testTarget(name: name + "Tests", dependencies: [.init(stringLiteral: name)] + dependencies, swiftSettings: settings),
  ]
}

var targets: [Target] = [
  .systemLibrary(name: "CSQLite", path: "Sources/CSQLite"),
  .systemLibrary(name: "CYAML", path: "Sources/CYAML"),
  .systemLibrary(name: "CZlib", path: "Sources/CZlib"),
  .target(name: "CLinux"),
  .target(name: "CTables", exclude: ["kubernetes.json", "descriptions.json", "validation.json", "cri.json"]),
]
targets += room("Wire", ["CYAML"], linker: [.linkedLibrary(":libyaml.a")])
targets += room("RPC", ["Wire", "CTables"] + nio + http2)
targets += room("Schema", ["Wire", "CTables"])
targets += room("Store", ["Wire", "CSQLite", "CLinux", logging], linker: [.linkedLibrary(":libsqlite3.a")])
targets += room("Cache", ["Wire", "Schema", "Store", logging])
targets += room("Client", ["Wire", "Schema", "Cache", logging])
targets += room("Network", ["Wire", "Client", "CLinux", logging] + nio)
targets += room("Agent", ["Wire", "RPC", "Client", "Network", "CLinux", logging, crypto] + nio + http2)
targets += room("Scheduler", ["Wire", "Client", logging])
targets += room("Controllers", ["Wire", "Schema", "Client", logging, crypto])
targets += room("HTTP", ["CZlib", logging, crypto] + nio + http2, linker: [.linkedLibrary(":libz.a")])
targets += room("ControlPlane", ["Wire", "Schema", "Store", "Cache", "Client", "HTTP", logging, crypto, x509, asn1] + nio)
targets += room("Registry", ["Wire", "ControlPlane", "HTTP", logging, crypto] + nio)
targets += room(
  "KubernetesAPI", ["Wire", "Schema", "Store", "Cache", "Client", "ControlPlane", "HTTP", logging, crypto] + nio + http2)
targets += [
  .executableTarget(
    name: "gantry",
    dependencies: [
      "Wire", "RPC", "Schema", "Store", "Cache", "Client", "Network", "Agent", "Scheduler", "Controllers", "HTTP", "ControlPlane",
      "Registry", "KubernetesAPI", "CLinux", logging, arguments, crypto, x509,
    ] + nio + http2,
    swiftSettings: settings,
    linkerSettings: [
      .unsafeFlags([
        "-static-stdlib", "-l_FoundationCollections", "-l_FoundationCShims", "-lswiftSynchronization",
        // Sources/CLinux: an idle process stays asleep.
        "-Xlinker", "--wrap=dispatch_source_set_timer",
        // Nothing loads it: its symbols would be 3 MB.
        "-Xlinker", "--no-export-dynamic",
        // 2 MB of relocations in some kilobytes: glibc 2.36 (Debian 12) reads them, and gold does not write them.
        "-use-ld=lld", "-Xlinker", "-zpack-relative-relocs",
      ])
    ]),
  .executableTarget(
    name: "gantry-bench",
    dependencies: [
      "Wire", "Schema", "Store", "Cache", "Client", "HTTP", "ControlPlane", "KubernetesAPI", "Scheduler", "CSQLite", logging,
    ] + nio + http2,
    path: "Benchmarks", exclude: ["system"], swiftSettings: settings),
  .testTarget(
    name: "ClusterTests",
    dependencies: ["Wire", "Schema", "Store", "Cache", "Client", "ControlPlane", "Controllers", "Scheduler", "Network", logging],
    swiftSettings: settings),
  .testTarget(
    name: "EndToEndTests", dependencies: ["Wire", "Client", "HTTP", "CLinux"] + nio + http2, path: "Tests/EndToEnd",
    swiftSettings: settings),
]

let package = Package(
  name: "gantry",
  products: [.executable(name: "gantry", targets: ["gantry"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-http2.git", from: "1.46.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
    .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.1"),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
  ],
  targets: targets,
  cLanguageStandard: .gnu2x
)
