enum LinearAlgebraPlaceholder {}
