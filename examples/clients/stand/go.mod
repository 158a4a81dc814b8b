module example.org/stand

go 1.26.0
