mod books;
mod fake;
mod operations;
mod replies;
