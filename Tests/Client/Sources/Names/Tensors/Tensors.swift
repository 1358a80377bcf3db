/// Something of the guest, under a name of ours.
public enum TensorsOfGuest {
  public static let name = "Tensors"
}
