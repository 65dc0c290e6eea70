package cache

import "io/fs"

// private reports a folder: those below a user's cache folder are the user's alone.
func private(dir fs.FileInfo) bool { return dir.IsDir() }
