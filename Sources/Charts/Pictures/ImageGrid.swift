/// Small pictures with captions, in as many columns as fit: the digits that one model got wrong and another right.
public struct ImageGrid: Figure {
  /// A picture with its captions.
  public struct Tile: Sendable {
    /// The picture.
    public let picture: Picture
    /// One line each.
    public let captions: [Remark]

    /// - Parameters:
    ///   - picture: the picture.
    ///   - captions: one line each.
    public init(_ picture: Picture, captions: [Remark]) {
      (self.picture, self.captions) = (picture, captions)
    }
  }

  /// The heading.
  public let title: String
  /// From left to right, row by row.
  public let tiles: [Tile]
  /// The least width of a tile, in pixels; a row has as many as fit.
  public let tileWidth: Int

  /// - Parameters:
  ///   - title: the heading.
  ///   - tiles: from left to right, row by row.
  ///   - tileWidth: small pictures are enlarged to it, pixel by pixel; large ones are shown smoothly.
  public init(title: String, tiles: [Tile], tileWidth: Int = 88) {
    (self.title, self.tiles, self.tileWidth) = (title, tiles, tileWidth)
  }

  public var plainText: String {
    let lines = tiles.map { tile in tile.captions.map(\.text).joined(separator: ", ") }
    return ([title, "\(tiles.count) pictures"] + lines).filter { !$0.isEmpty }.joined(separator: "\n")
  }

  public var html: String {
    let content = tiles.map { tile in
      Markup(
        "div", ["class": "tile"],
        [
          Markup(
            "img",
            [
              "src": tile.picture.dataURI, "width": tile.picture.width, "height": tile.picture.height,
              "alt": tile.captions.map(\.text).joined(separator: ", "),
              "style": "image-rendering:\(tile.picture.width < tileWidth ? "pixelated" : "auto")",
            ])
        ]
          + tile.captions.map { caption in
            Markup("div", ["class": caption.tone.rawValue], text: caption.text)
          })
    }
    let heading = title.isEmpty ? [] : [Markup("div", ["class": "tiles-heading"], text: title)]
    let columns = "grid-template-columns:repeat(auto-fill,minmax(min(\(tileWidth)px,100%),1fr))"
    let grid =
      tiles.isEmpty
      ? Markup("div", text: "None.")
      : Markup("div", ["class": tileWidth > 200 ? "tiles large" : "tiles", "style": columns], content)
    return (heading + [grid]).map(\.source).joined()
  }
}
