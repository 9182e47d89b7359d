@main struct Gantry { static func main() {} }
