import Dispatch
import Foundation

extension Picture {
  /// A picture to try things on, drawn when asked for: three balls on a tiled floor before hills at dusk. It has what
  /// photographs have: smooth gradients of few singular values, edges of many, and fine texture.
  public static func sample(width: Int = 512, height: Int = 384) -> Picture {
    let aspect = Float(height) / Float(width)
    let pixels = [UInt8](unsafeUninitializedCapacity: 3 * width * height) { buffer, count in
      nonisolated(unsafe) let pixels = buffer
      DispatchQueue.concurrentPerform(iterations: height) { row in
        for column in 0..<width {
          // The mean of 2 × 2 rays smooths edges.
          var color = Vector()
          for ray in 0..<4 {
            let x = (Float(column) + (ray & 1 == 0 ? 0.25 : 0.75)) / Float(width) * 2 - 1
            let y = 1 - (Float(row) + (ray < 2 ? 0.25 : 0.75)) / Float(height) * 2
            color += Scene.color(from: Scene.eye, towards: normalized(Vector(x * 0.62, y * 0.62 * aspect - 0.1, 1)))
          }
          color = (color / 4).clamped(lowerBound: .zero, upperBound: .one)
          for channel in 0..<3 {
            pixels[(row * width + column) * 3 + channel] = UInt8((pow(color[channel], 1 / 2.2) * 255).rounded())
          }
        }
      }
      count = buffer.count
    }
    return Picture(width: width, height: height, channels: 3, pixels: pixels)
  }
}

private typealias Vector = SIMD3<Float>

private func dot(_ a: Vector, _ b: Vector) -> Float { (a * b).sum() }
private func normalized(_ a: Vector) -> Vector { a / dot(a, a).squareRoot() }
private func mix(_ a: Vector, _ b: Vector, _ share: Float) -> Vector { a + (b - a) * min(max(share, 0), 1) }

/// A small ray tracer: x to the right, y up, z away from the eye.
private enum Scene {
  static let eye = Vector(0, 1.15, -4.6)
  static let sun = normalized(Vector(-0.62, 0.42, 0.35))

  struct Ball {
    let center: Vector
    let radius: Float
    let shine: Float
  }

  static let balls = [
    Ball(center: Vector(-1.35, 0.8, 0.6), radius: 0.8, shine: 0.12),
    Ball(center: Vector(0.35, 1, 1.5), radius: 1, shine: 0.75),
    Ball(center: Vector(1.35, 0.45, -0.6), radius: 0.45, shine: 0.2),
  ]

  /// Light that arrives at `origin` from `direction`.
  static func color(from origin: Vector, towards direction: Vector, depth: Int = 0) -> Vector {
    var nearest: (distance: Float, ball: Int?) = (.infinity, nil)
    for (index, ball) in balls.enumerated() {
      if let distance = hit(ball, origin, direction), distance < nearest.distance { nearest = (distance, index) }
    }
    if direction.y < 0 {
      let distance = -origin.y / direction.y
      if distance > 1e-3, distance < nearest.distance { nearest = (distance, nil) }
    }
    guard nearest.distance < .infinity else { return sky(direction) }

    let point = origin + direction * nearest.distance
    let normal = nearest.ball.map { normalized(point - balls[$0].center) } ?? Vector(0, 1, 0)
    let surface = nearest.ball.map { ballColor($0, normal) } ?? floor(point)
    let shine = nearest.ball.map { balls[$0].shine } ?? 0.18
    let isLit = !balls.contains { hit($0, point + normal * 1e-3, sun) != nil }
    let sunlight = isLit ? max(dot(normal, sun), 0) : 0
    var color = surface * (Vector(0.30, 0.32, 0.44) * (0.6 + 0.4 * normal.y) + Vector(1.5, 1.15, 0.75) * sunlight)
    if depth < 2 {
      let mirrored = direction - normal * (2 * dot(direction, normal))
      let grazing = pow(1 + min(dot(direction, normal), 0), 4)
      color = mix(
        color, Self.color(from: point + normal * 1e-3, towards: mirrored, depth: depth + 1), shine + 0.25 * grazing)
    }
    if isLit, nearest.ball != nil {
      let half = normalized(sun - direction)
      color += Vector(1, 0.9, 0.7) * (0.9 * pow(max(dot(normal, half), 0), 90))
    }
    // Haze towards the horizon.
    return mix(Vector(0.62, 0.42, 0.42), color, exp(-nearest.distance / 45))
  }

  private static func hit(_ ball: Ball, _ origin: Vector, _ direction: Vector) -> Float? {
    let offset = origin - ball.center
    let b = dot(offset, direction)
    let discriminant = b * b - dot(offset, offset) + ball.radius * ball.radius
    guard discriminant > 0 else { return nil }
    let distance = -b - discriminant.squareRoot()
    return distance > 1e-3 ? distance : nil
  }

  private static func ballColor(_ index: Int, _ normal: Vector) -> Vector {
    switch index {
    case 0:  // marble
      let vein = 0.5 + 0.5 * sin(9 * normal.x + 7 * normal.y + 5 * turbulence(normal * 2.2))
      return mix(Vector(0.10, 0.22, 0.30), Vector(0.85, 0.88, 0.82), vein * vein)
    case 1: return Vector(0.75, 0.72, 0.70)
    default:  // stripes
      return sin(normal.y * 16 + 2 * turbulence(normal * 3)) > 0 ? Vector(0.85, 0.25, 0.10) : Vector(0.95, 0.75, 0.45)
    }
  }

  private static func floor(_ point: Vector) -> Vector {
    let isLight = (Int(point.x.rounded(.down)) + Int(point.z.rounded(.down))) & 1 == 0
    let grain = 0.75 + 0.5 * turbulence(Vector(point.x * 2.5, 0, point.z * 9))
    return (isLight ? Vector(0.62, 0.54, 0.44) : Vector(0.26, 0.19, 0.15)) * grain
  }

  private static func sky(_ direction: Vector) -> Vector {
    let height = max(direction.y, 0)
    var color = mix(Vector(1.0, 0.52, 0.26), Vector(0.16, 0.26, 0.52), height * 2.6)
    if height > 0 {
      let cloud = turbulence(Vector(direction.x * 3, direction.y * 11, 7)) - 0.42
      color = mix(color, Vector(1.0, 0.74, 0.56), cloud * 1.6 * min(height * 6, 1))
    }
    color += Vector(1.0, 0.6, 0.25) * (0.8 * pow(max(dot(direction, sun), 0), 24))
    // Two rows of hills.
    guard height < 0.2, direction.z > 0 else { return color }
    for (depth, tone) in [(Float(1), Vector(0.42, 0.30, 0.38)), (2, Vector(0.20, 0.15, 0.24))] {
      let ridge = 0.20 / depth * turbulence(Vector(direction.x / max(direction.z, 0.2) * 2.6 * depth, depth * 5, 3))
      if direction.y < ridge { color = mix(tone, color, 0.25) }
    }
    return color
  }

  /// Noise at four scales, about 0 to 1.
  private static func turbulence(_ point: Vector) -> Float {
    var (sum, weight, scaled) = (Float(0), Float(0.5), point)
    for _ in 0..<4 {
      sum += weight * noise(scaled)
      weight /= 2
      scaled = scaled * 2.03 + Vector(repeating: 1.7)
    }
    return sum
  }

  /// Smooth noise: random values at whole points, in between by a cubic.
  private static func noise(_ point: Vector) -> Float {
    let cell = point.rounded(.down)
    let t = point - cell
    let smooth = t * t * (Vector(repeating: 3) - 2 * t)
    func value(_ dx: Int32, _ dy: Int32, _ dz: Int32) -> Float {
      var hash = UInt32(bitPattern: Int32(cell.x) &+ dx) &* 0x8da6_b343
      hash ^= UInt32(bitPattern: Int32(cell.y) &+ dy) &* 0xd816_3841
      hash ^= UInt32(bitPattern: Int32(cell.z) &+ dz) &* 0xcb1a_b31f
      hash = (hash ^ hash >> 15) &* 0x2c1b_3c6d
      hash = (hash ^ hash >> 12) &* 0x297a_2d39
      return Float((hash ^ hash >> 15) >> 8) * 0x1p-24
    }
    func along(_ a: Float, _ b: Float, _ share: Float) -> Float { a + (b - a) * share }
    func plane(_ dz: Int32) -> Float {
      along(
        along(value(0, 0, dz), value(1, 0, dz), smooth.x), along(value(0, 1, dz), value(1, 1, dz), smooth.x), smooth.y)
    }
    return along(plane(0), plane(1), smooth.z)
  }
}
