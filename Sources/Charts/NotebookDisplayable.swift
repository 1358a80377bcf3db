/// A value that a notebook shows richly: the kernel sends `notebookRepresentations` as the cell's output, and the
/// front end picks the best that it can show.
public protocol NotebookDisplayable {
  /// MIME type and content, best first: `image/svg+xml` and `text/html` as text, `image/png` in base 64.
  var notebookRepresentations: [(mimeType: String, content: String)] { get }
}
