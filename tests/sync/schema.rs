//! Tables of AgentDB, with their columns and constraints, as far as the simulation writes to them.
use midstreamer::sync::replica::{OpenOptions, Replica};

use crate::sqlite::Sqlite;

pub(crate) const TABLES: &str = "
CREATE TABLE episodes(id INTEGER PRIMARY KEY AUTOINCREMENT, ts INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), session_id TEXT NOT NULL,
  task TEXT NOT NULL, input TEXT, output TEXT, critique TEXT, reward REAL DEFAULT 0.0, success BOOLEAN DEFAULT 0, latency_ms INTEGER,
  tokens_used INTEGER, tags TEXT, metadata JSON, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')));
CREATE TABLE episode_embeddings(episode_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL, embedding_model TEXT DEFAULT 'all-MiniLM-L6-v2',
  FOREIGN KEY(episode_id) REFERENCES episodes(id) ON DELETE CASCADE);
CREATE TABLE events(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, episode_id INTEGER, step INTEGER NOT NULL, phase TEXT,
  role TEXT, content TEXT NOT NULL, features JSON, tool_calls JSON, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  FOREIGN KEY(episode_id) REFERENCES episodes(id) ON DELETE CASCADE);
CREATE TABLE skills(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL, description TEXT, signature JSON NOT NULL, code TEXT,
  success_rate REAL DEFAULT 0.0, uses INTEGER DEFAULT 0, avg_reward REAL DEFAULT 0.0, avg_latency_ms INTEGER DEFAULT 0,
  created_from_episode INTEGER, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  updated_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), last_used_at INTEGER, metadata JSON,
  FOREIGN KEY(created_from_episode) REFERENCES episodes(id));
CREATE TABLE skill_embeddings(skill_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL, embedding_model TEXT DEFAULT 'all-MiniLM-L6-v2',
  FOREIGN KEY(skill_id) REFERENCES skills(id) ON DELETE CASCADE);
CREATE TABLE skill_links(id INTEGER PRIMARY KEY AUTOINCREMENT, parent_skill_id INTEGER NOT NULL, child_skill_id INTEGER NOT NULL,
  relationship TEXT NOT NULL, weight REAL DEFAULT 1.0, metadata JSON, FOREIGN KEY(parent_skill_id) REFERENCES skills(id) ON DELETE CASCADE,
  FOREIGN KEY(child_skill_id) REFERENCES skills(id) ON DELETE CASCADE, UNIQUE(parent_skill_id, child_skill_id, relationship));
CREATE TABLE reasoning_patterns(id INTEGER PRIMARY KEY AUTOINCREMENT, ts INTEGER DEFAULT (strftime('%s', 'now')), task_type TEXT NOT NULL,
  approach TEXT NOT NULL, success_rate REAL NOT NULL DEFAULT 0.0, uses INTEGER DEFAULT 0, avg_reward REAL DEFAULT 0.0, tags TEXT, metadata TEXT);
CREATE TABLE pattern_embeddings(pattern_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL,
  FOREIGN KEY(pattern_id) REFERENCES reasoning_patterns(id) ON DELETE CASCADE);
CREATE TRIGGER update_skill_last_used AFTER UPDATE OF uses ON skills BEGIN
  UPDATE skills SET last_used_at = strftime('%s', 'now') WHERE id = NEW.id; END;
CREATE TRIGGER update_skill_timestamp AFTER UPDATE ON skills BEGIN
  UPDATE skills SET updated_at = strftime('%s', 'now') WHERE id = NEW.id; END;
";

/// What is compared, without local ids and local times.
pub(crate) const CONTENTS: [&str; 5] = [
    "SELECT ts, session_id, task, critique, created_at IS NULL, hex(embedding), embedding_model FROM episodes
     LEFT JOIN episode_embeddings ON episode_id = id ORDER BY task, critique",
    "SELECT content, step, task FROM events LEFT JOIN episodes ON episodes.id = episode_id ORDER BY content, step, task",
    "SELECT name, description, signature, uses, success_rate, task FROM skills LEFT JOIN episodes ON episodes.id = created_from_episode ORDER BY name",
    "SELECT a.name, b.name, relationship, weight FROM skill_links JOIN skills a ON a.id = parent_skill_id JOIN skills b ON b.id = child_skill_id
     ORDER BY a.name, b.name",
    "SELECT task_type, approach, uses, success_rate, avg_reward, hex(embedding) FROM reasoning_patterns
     LEFT JOIN pattern_embeddings ON pattern_id = id ORDER BY task_type",
];

pub(crate) const WITHOUT_EMBEDDING: [&str; 2] = [
    "SELECT task FROM episodes WHERE id NOT IN (SELECT episode_id FROM episode_embeddings)",
    "SELECT task_type FROM reasoning_patterns WHERE id NOT IN (SELECT pattern_id FROM pattern_embeddings)",
];

pub(crate) fn open(db: &mut Sqlite, now_ms: u64, seed: [u8; 32]) -> Replica {
    let options = OpenOptions {
        database: "default".to_owned(),
        tables: None,
        now_ms,
        seed,
        seal: None,
        declared: Vec::new(),
    };
    let mut replica = Replica::open(db, options).expect("opens");
    // The rows that were there before are entered page by page.
    loop {
        replica.begin(db).expect("a transaction");
        let captured = replica.capture(db, now_ms, 100).expect("captures");
        replica.commit(db).expect("commits");
        if !captured.more {
            return replica;
        }
    }
}
