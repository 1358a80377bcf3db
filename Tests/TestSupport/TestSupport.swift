// What several test targets share: where fixtures and the optional shared data lie.
import Foundation

/// The repository's root, found from this file.
public let repositoryRoot = URL(fileURLWithPath: #filePath)
  .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// Committed fixtures, made by the scripts beside them.
public let fixtures = repositoryRoot.appendingPathComponent("Tests/Fixtures")

/// Real data and models beside the checkout, `nil` where they are absent: a test that needs them is skipped.
public let sharedData: URL? = {
  let url = repositoryRoot.deletingLastPathComponent().appendingPathComponent("shared/data")
  return FileManager.default.fileExists(atPath: url.path) ? url : nil
}()
