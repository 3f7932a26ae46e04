package am_test

const process = "be-a-process"

func beProcess([]string) int { return 0 }
