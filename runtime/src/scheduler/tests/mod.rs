mod books;
mod fake;
