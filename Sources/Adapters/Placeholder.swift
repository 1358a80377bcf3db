enum AdaptersPlaceholder {}
