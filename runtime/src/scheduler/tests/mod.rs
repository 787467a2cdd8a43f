mod books;
mod fake;
mod replies;
