/// Shows a value below the cell, while the cell runs.
///
/// With an `id` a later call with the same `id` replaces what the earlier one shows, in place.
public func display(_ value: Any, id: String? = nil) {
  show(value, message: "display_data", id: id)
}

/// Shows content below the cell, while the cell runs: `display(.svg(text))`.
public func display(_ media: Media, id: String? = nil) {
  show(media, message: "display_data", id: id)
}

/// Removes what the cell has shown so far; with `wait`, not before it shows something new.
public func clearOutput(wait: Bool = true) {
  EventChannel.shared.send(message: "clear_output", content: ["wait": wait])
}

/// The kernel wraps the last expression of a cell in this call.
public func _notebookShow<Value>(_ value: Value) {
  Stopwatch.shared.stop()
  show(value, message: "execute_result", id: nil)
}

public func _notebookShow(_ value: Void) {}

private func show(_ value: Any, message: String, id: String?) {
  var content: [String: Any] = ["data": representations(of: value), "metadata": [String: Any]()]
  var message = message
  if let id {
    content["transient"] = ["display_id": id]
    if !EventChannel.shared.isFirstUse(ofDisplay: id) { message = "update_display_data" }
  }
  EventChannel.shared.send(message: message, content: content)
}
