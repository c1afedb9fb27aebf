fn main() -> std::process::ExitCode {
    tableserver::run("table-mysql", mysqltable::Mysql::default())
}
