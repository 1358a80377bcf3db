// The parts of an image model's pipeline.

/// Which part of an image model's pipeline a module belongs to.
public enum PipelineComponent: Hashable, Sendable {
  /// The UNet or transformer that removes the noise.
  case denoiser
  /// A text encoder: 1, 2 or 3, as diffusers' folders `text_encoder`, `text_encoder_2`, `text_encoder_3`.
  case textEncoder(Int)

  /// - Parameter folder: the name of a component's folder in a diffusers pipeline; others give `nil`.
  public init?(folder: String) {
    switch folder {
    case "unet", "transformer", "transformer_2", "prior": self = .denoiser
    case "text_encoder": self = .textEncoder(1)
    case "text_encoder_2": self = .textEncoder(2)
    case "text_encoder_3": self = .textEncoder(3)
    default: return nil
    }
  }
}
