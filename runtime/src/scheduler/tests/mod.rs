mod books;
mod fake;
mod in_flight;
mod operations;
mod replies;
