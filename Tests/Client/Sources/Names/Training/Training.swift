/// Something of the guest, under a name of ours.
public enum TrainingOfGuest {
  public static let name = "Training"
}
