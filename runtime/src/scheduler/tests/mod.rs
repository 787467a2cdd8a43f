mod books;
mod draft;
mod draft_replies;
mod fake;
mod operations;
mod replies;
mod snapshots;
mod truncate;
