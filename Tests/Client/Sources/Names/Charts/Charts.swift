/// Something of the guest, under a name of ours.
public enum ChartsOfGuest {
  public static let name = "Charts"
}
