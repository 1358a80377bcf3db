// What JavaScript calls. Numbers pass as arguments, arrays through memory: `reserve` gives room to write to, and what
// answers with an array leaves it in the outbox and returns how many numbers it holds.

#if arch(wasm32)
  nonisolated(unsafe) private var classroom: Classroom?
  nonisolated(unsafe) private var outbox: UnsafeMutablePointer<Float>?
  nonisolated(unsafe) private var outboxCapacity = 0

  @_expose(wasm, "reserve") @_cdecl("reserve")
  public func reserve(_ bytes: Int32) -> UnsafeMutableRawPointer {
    .allocate(byteCount: Int(bytes), alignment: 16)
  }

  @_expose(wasm, "release") @_cdecl("release")
  public func release(_ pointer: UnsafeMutableRawPointer) { pointer.deallocate() }

  @_expose(wasm, "outbox") @_cdecl("outbox")
  public func outboxAddress() -> UnsafeMutablePointer<Float>? { outbox }

  private func post(_ numbers: [Float]) -> Int32 {
    if numbers.count > outboxCapacity {
      outbox?.deallocate()
      outboxCapacity = numbers.count
      outbox = .allocate(capacity: numbers.count)
    }
    for i in numbers.indices { outbox![i] = numbers[i] }
    return Int32(numbers.count)
  }

  /// The sizes, `count` of them; then weights and biases layer by layer; then the images and their digits.
  @_expose(wasm, "open") @_cdecl("open")
  public func open(
    _ sizes: UnsafePointer<Int32>, _ count: Int32, _ weights: UnsafePointer<Float>,
    _ trainImages: UnsafePointer<UInt8>, _ trainLabels: UnsafePointer<UInt8>, _ trainCount: Int32,
    _ testImages: UnsafePointer<UInt8>, _ testLabels: UnsafePointer<UInt8>, _ testCount: Int32
  ) {
    var layers: [Dense] = []
    var position = 0
    func take(_ count: Int) -> [Float] {
      defer { position += count }
      return Array(UnsafeBufferPointer(start: weights + position, count: count))
    }
    for layer in 0..<Int(count) - 1 {
      let (inputs, outputs) = (Int(sizes[layer]), Int(sizes[layer + 1]))
      let weight = take(outputs * inputs)
      layers.append(Dense(inputs: inputs, outputs: outputs, weight: weight, bias: take(outputs)))
    }
    func images(_ bytes: UnsafePointer<UInt8>, _ labels: UnsafePointer<UInt8>, _ count: Int32) -> Images {
      Images(
        bytes: Array(UnsafeBufferPointer(start: bytes, count: Int(count) * Int(sizes[0]))),
        labels: Array(UnsafeBufferPointer(start: labels, count: Int(count))))
    }
    classroom = Classroom(
      base: Network(layers: layers), train: images(trainImages, trainLabels, trainCount),
      test: images(testImages, testLabels, testCount))
  }

  @_expose(wasm, "begin") @_cdecl("begin")
  public func begin(_ digit: Int32, _ share: Float, _ rank: Int32, _ scale: Float, _ seed: Int32) {
    classroom!.begin(
      Lesson(digit: Int(digit), share: share, seed: UInt64(UInt32(bitPattern: seed))), rank: Int(rank), scale: scale)
  }

  @_expose(wasm, "setScale") @_cdecl("setScale")
  public func setScale(_ scale: Float) { classroom!.setScale(scale) }

  @_expose(wasm, "step") @_cdecl("step")
  public func step(_ reader: Int32, _ rate: Float) -> Float {
    classroom!.step(Classroom.Reader(rawValue: reader)!, rate: rate)
  }

  @_expose(wasm, "merge") @_cdecl("merge")
  public func merge(_ isMerged: Int32) { classroom!.merge(isMerged != 0) }

  @_expose(wasm, "trainedCount") @_cdecl("trainedCount")
  public func trainedCount(_ reader: Int32) -> Int32 {
    Int32(classroom!.trainedCount(Classroom.Reader(rawValue: reader)!))
  }

  @_expose(wasm, "sameBits") @_cdecl("sameBits")
  public func sameBits() -> Int32 { Int32(classroom!.sameBits()) }

  @_expose(wasm, "mergeError") @_cdecl("mergeError")
  public func mergeError() -> Float { classroom!.mergeError() }

  /// The answers on the test images.
  @_expose(wasm, "answers") @_cdecl("answers")
  public func answers(_ reader: Int32) -> Int32 {
    post(classroom!.answers(Classroom.Reader(rawValue: reader)!).map { Float($0) })
  }

  /// The logits of one image of pixels between 0 and 255.
  @_expose(wasm, "read") @_cdecl("read")
  public func read(_ reader: Int32, _ pixels: UnsafePointer<UInt8>) -> Int32 {
    let network = classroom!.network(Classroom.Reader(rawValue: reader)!)
    let image = Images(
      bytes: Array(UnsafeBufferPointer(start: pixels, count: network.layers[0].inputs)), labels: [0])
    return post(network.logits(image.pixels([0]), rows: 1))
  }

  @_expose(wasm, "weight") @_cdecl("weight")
  public func weight(_ reader: Int32, _ layer: Int32) -> Int32 {
    post(classroom!.network(Classroom.Reader(rawValue: reader)!).layers[Int(layer)].weight)
  }

  @_expose(wasm, "delta") @_cdecl("delta")
  public func delta(_ reader: Int32, _ layer: Int32) -> Int32 {
    post(classroom!.delta(Classroom.Reader(rawValue: reader)!, layer: Int(layer)))
  }

  @_expose(wasm, "spectrum") @_cdecl("spectrum")
  public func spectrum(_ reader: Int32, _ layer: Int32) -> Int32 {
    post(classroom!.spectrum(Classroom.Reader(rawValue: reader)!, layer: Int(layer)))
  }

  @_expose(wasm, "factorA") @_cdecl("factorA")
  public func factorA(_ layer: Int32) -> Int32 { post(classroom!.adapter(layer: Int(layer))?.a ?? []) }

  @_expose(wasm, "factorB") @_cdecl("factorB")
  public func factorB(_ layer: Int32) -> Int32 { post(classroom!.adapter(layer: Int(layer))?.b ?? []) }
#endif
