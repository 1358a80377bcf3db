/// What completion writes where a value is yet to be put in: it fits wherever a value is needed.
public func placeholder<Value>(_ type: String = "\(Value.self)") -> Value {
  fatalError("there is a placeholder where a value of type \(type) belongs")
}
