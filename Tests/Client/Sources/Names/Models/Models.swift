/// Something of the guest, under a name of ours.
public enum ModelsOfGuest {
  public static let name = "Models"
}
