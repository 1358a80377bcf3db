import Foundation

/// Where a package comes from: a folder, or a repository in one version.
struct PackageOrigin: Equatable {
  /// The folder's path or the repository's address.
  let location: String
  /// Nil for a folder, which is as it is now.
  let version: String?

  /// The folder, or nil.
  var folder: URL? { version == nil ? URL(fileURLWithPath: location) : nil }
  var name: String { (location as NSString).lastPathComponent.replacing(/\.git$/, with: "") }
  var description: String { location + (version.map { " " + $0 } ?? "") }

  /// The dependency in a manifest. A notebook that ran with one version shall run with it tomorrow.
  var dependency: String {
    let quoted = String(reflecting: location)
    return version.map { ".package(url: \(quoted), exact: \(String(reflecting: $0)))" } ?? ".package(path: \(quoted))"
  }

  static func folder(_ url: URL) throws -> PackageOrigin {
    let folder = url.standardizedFileURL.resolvingSymlinksInPath()
    guard FileManager.default.fileExists(atPath: folder.appendingPathComponent("Package.swift").path) else {
      throw CellFailure(
        name: "Package error",
        message: "there is no Package.swift in \(folder.path). Give the folder of a SwiftPM package: "
          + "%package PATH [Product …]")
    }
    return PackageOrigin(location: folder.path, version: nil)
  }

  static func repository(url: String, version: String) throws -> PackageOrigin {
    guard version.wholeMatch(of: /\d+\.\d+\.\d+(?:[-+][\w.+-]+)?/) != nil else {
      throw CellFailure(
        name: "Package error",
        message: "\(version.isEmpty ? "no version" : version) was given for \(url). Name one in full: "
          + "%package \(url) 1.2.3 [Product …]")
    }
    return PackageOrigin(location: url, version: version)
  }
}
