fn main() -> std::process::ExitCode {
    ratetracker::run()
}
