package notice

// Letter is letter, for golden files.
var Letter = letter
