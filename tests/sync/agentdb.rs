//! The tables of AgentDB (1.6 to 3.0) and of agentic-flow's ReasoningBank (2.1): columns, keys, constraints, triggers.

/// What `ReasoningBank`'s constructor makes.
pub(crate) const PATTERNS: &str = "
CREATE TABLE reasoning_patterns(id INTEGER PRIMARY KEY AUTOINCREMENT, ts INTEGER DEFAULT (strftime('%s', 'now')), task_type TEXT NOT NULL,
  approach TEXT NOT NULL, success_rate REAL NOT NULL DEFAULT 0.0, uses INTEGER DEFAULT 0, avg_reward REAL DEFAULT 0.0, tags TEXT, metadata TEXT);
CREATE INDEX idx_patterns_task_type ON reasoning_patterns(task_type);
CREATE TABLE pattern_embeddings(pattern_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL,
  FOREIGN KEY(pattern_id) REFERENCES reasoning_patterns(id) ON DELETE CASCADE);
";

/// What the main schema makes.
pub(crate) const MEMORY: &str = "
CREATE TABLE episodes(id INTEGER PRIMARY KEY AUTOINCREMENT, ts INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), session_id TEXT NOT NULL,
  task TEXT NOT NULL, input TEXT, output TEXT, critique TEXT, reward REAL DEFAULT 0.0, success BOOLEAN DEFAULT 0, latency_ms INTEGER,
  tokens_used INTEGER, tags TEXT, metadata JSON, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')));
CREATE TABLE episode_embeddings(episode_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL, embedding_model TEXT DEFAULT 'all-MiniLM-L6-v2',
  FOREIGN KEY(episode_id) REFERENCES episodes(id) ON DELETE CASCADE);
CREATE TABLE skills(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL, description TEXT, signature JSON NOT NULL, code TEXT,
  success_rate REAL DEFAULT 0.0, uses INTEGER DEFAULT 0, avg_reward REAL DEFAULT 0.0, avg_latency_ms INTEGER DEFAULT 0,
  created_from_episode INTEGER, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  updated_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), last_used_at INTEGER, metadata JSON,
  FOREIGN KEY(created_from_episode) REFERENCES episodes(id));
CREATE TABLE skill_links(id INTEGER PRIMARY KEY AUTOINCREMENT, parent_skill_id INTEGER NOT NULL, child_skill_id INTEGER NOT NULL,
  relationship TEXT NOT NULL, weight REAL DEFAULT 1.0, metadata JSON, FOREIGN KEY(parent_skill_id) REFERENCES skills(id) ON DELETE CASCADE,
  FOREIGN KEY(child_skill_id) REFERENCES skills(id) ON DELETE CASCADE, UNIQUE(parent_skill_id, child_skill_id, relationship));
CREATE TABLE skill_embeddings(skill_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL, embedding_model TEXT DEFAULT 'all-MiniLM-L6-v2',
  FOREIGN KEY(skill_id) REFERENCES skills(id) ON DELETE CASCADE);
CREATE TABLE facts(id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, predicate TEXT NOT NULL, object TEXT NOT NULL, source_type TEXT,
  source_id INTEGER, confidence REAL DEFAULT 1.0, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), expires_at INTEGER, metadata JSON);
CREATE TABLE notes(id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT, text TEXT NOT NULL, summary TEXT, note_type TEXT DEFAULT 'general',
  importance REAL DEFAULT 0.5, access_count INTEGER DEFAULT 0, last_accessed_at INTEGER,
  created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), updated_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), metadata JSON);
CREATE TABLE note_embeddings(note_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL, embedding_model TEXT DEFAULT 'all-MiniLM-L6-v2',
  FOREIGN KEY(note_id) REFERENCES notes(id) ON DELETE CASCADE);
CREATE TABLE events(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, episode_id INTEGER, step INTEGER NOT NULL, phase TEXT,
  role TEXT, content TEXT NOT NULL, features JSON, tool_calls JSON, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  FOREIGN KEY(episode_id) REFERENCES episodes(id) ON DELETE CASCADE);
CREATE TABLE consolidated_memories(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, start_event_id INTEGER NOT NULL,
  end_event_id INTEGER NOT NULL, phase TEXT, summary TEXT NOT NULL, key_insights JSON, success_patterns JSON, failure_patterns JSON,
  quality_score REAL DEFAULT 0.5, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  FOREIGN KEY(start_event_id) REFERENCES events(id), FOREIGN KEY(end_event_id) REFERENCES events(id));
CREATE TABLE exp_nodes(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, label TEXT NOT NULL, payload JSON, centrality REAL DEFAULT 0.0,
  created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), updated_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')));
CREATE TABLE exp_edges(id INTEGER PRIMARY KEY AUTOINCREMENT, src_node_id INTEGER NOT NULL, dst_node_id INTEGER NOT NULL,
  relationship TEXT NOT NULL, weight REAL DEFAULT 1.0, metadata JSON, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  FOREIGN KEY(src_node_id) REFERENCES exp_nodes(id) ON DELETE CASCADE, FOREIGN KEY(dst_node_id) REFERENCES exp_nodes(id) ON DELETE CASCADE,
  UNIQUE(src_node_id, dst_node_id, relationship));
CREATE TABLE exp_node_embeddings(node_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL, embedding_model TEXT DEFAULT 'all-MiniLM-L6-v2',
  FOREIGN KEY(node_id) REFERENCES exp_nodes(id) ON DELETE CASCADE);
CREATE TABLE memory_scores(id INTEGER PRIMARY KEY AUTOINCREMENT, memory_type TEXT NOT NULL, memory_id INTEGER NOT NULL, quality_score REAL NOT NULL,
  novelty_score REAL, relevance_score REAL, utility_score REAL, computed_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), metadata JSON);
CREATE TABLE memory_access_log(id INTEGER PRIMARY KEY AUTOINCREMENT, memory_type TEXT NOT NULL, memory_id INTEGER NOT NULL, query TEXT,
  relevance_score REAL, was_useful BOOLEAN, feedback JSON, accessed_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')));
CREATE TABLE consolidation_runs(id INTEGER PRIMARY KEY AUTOINCREMENT, job_type TEXT NOT NULL, records_processed INTEGER DEFAULT 0,
  records_created INTEGER DEFAULT 0, records_deleted INTEGER DEFAULT 0, duration_ms INTEGER, status TEXT DEFAULT 'pending', error TEXT,
  started_at INTEGER, completed_at INTEGER, metadata JSON);
CREATE TRIGGER update_skill_last_used AFTER UPDATE OF uses ON skills BEGIN
  UPDATE skills SET last_used_at = strftime('%s', 'now') WHERE id = NEW.id; END;
CREATE TRIGGER update_note_access AFTER UPDATE OF access_count ON notes BEGIN
  UPDATE notes SET last_accessed_at = strftime('%s', 'now') WHERE id = NEW.id; END;
CREATE TRIGGER update_skill_timestamp AFTER UPDATE ON skills BEGIN
  UPDATE skills SET updated_at = strftime('%s', 'now') WHERE id = NEW.id; END;
CREATE TRIGGER update_note_timestamp AFTER UPDATE ON notes BEGIN
  UPDATE notes SET updated_at = strftime('%s', 'now') WHERE id = NEW.id; END;
";

/// What the frontier schema makes.
pub(crate) const FRONTIER: &str = "
CREATE TABLE causal_edges(id INTEGER PRIMARY KEY AUTOINCREMENT, from_memory_id INTEGER NOT NULL, from_memory_type TEXT NOT NULL,
  to_memory_id INTEGER NOT NULL, to_memory_type TEXT NOT NULL, similarity REAL NOT NULL DEFAULT 0.0, uplift REAL, confidence REAL DEFAULT 0.5,
  sample_size INTEGER, evidence_ids TEXT, experiment_ids TEXT, confounder_score REAL, mechanism TEXT,
  created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), updated_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  last_validated_at INTEGER, metadata JSON);
CREATE TABLE causal_experiments(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, hypothesis TEXT NOT NULL, treatment_id INTEGER NOT NULL,
  treatment_type TEXT NOT NULL, control_id INTEGER, start_time INTEGER NOT NULL, end_time INTEGER, sample_size INTEGER DEFAULT 0,
  treatment_mean REAL, control_mean REAL, uplift REAL, p_value REAL, confidence_interval_low REAL, confidence_interval_high REAL,
  status TEXT DEFAULT 'running', metadata JSON, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')));
CREATE TABLE causal_observations(id INTEGER PRIMARY KEY AUTOINCREMENT, experiment_id INTEGER NOT NULL, episode_id INTEGER NOT NULL,
  is_treatment BOOLEAN NOT NULL, outcome_value REAL NOT NULL, outcome_type TEXT, context JSON,
  observed_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), FOREIGN KEY(experiment_id) REFERENCES causal_experiments(id) ON DELETE CASCADE,
  FOREIGN KEY(episode_id) REFERENCES episodes(id) ON DELETE CASCADE);
CREATE TABLE recall_certificates(id TEXT PRIMARY KEY, query_id TEXT NOT NULL, query_text TEXT NOT NULL, chunk_ids TEXT NOT NULL,
  chunk_types TEXT NOT NULL, minimal_why TEXT, redundancy_ratio REAL, completeness_score REAL, merkle_root TEXT NOT NULL, source_hashes TEXT,
  proof_chain TEXT, policy_proof TEXT, policy_version TEXT, access_level TEXT, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  latency_ms INTEGER, metadata JSON);
CREATE TABLE provenance_sources(id INTEGER PRIMARY KEY AUTOINCREMENT, source_type TEXT NOT NULL, source_id INTEGER NOT NULL,
  content_hash TEXT NOT NULL UNIQUE, parent_hash TEXT, derived_from TEXT, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  creator TEXT, metadata JSON);
CREATE TABLE justification_paths(id INTEGER PRIMARY KEY AUTOINCREMENT, certificate_id TEXT NOT NULL, chunk_id TEXT NOT NULL, chunk_type TEXT NOT NULL,
  reason TEXT NOT NULL, necessity_score REAL NOT NULL, path_elements TEXT,
  FOREIGN KEY(certificate_id) REFERENCES recall_certificates(id) ON DELETE CASCADE);
CREATE TABLE learning_experiences(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, state TEXT NOT NULL, action TEXT NOT NULL,
  reward REAL NOT NULL, next_state TEXT, success INTEGER NOT NULL DEFAULT 0, timestamp INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), metadata JSON);
CREATE TABLE learning_sessions(id TEXT PRIMARY KEY, user_id TEXT NOT NULL, session_type TEXT NOT NULL, config JSON NOT NULL,
  start_time INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), end_time INTEGER, status TEXT NOT NULL DEFAULT 'active', metadata JSON);
CREATE TRIGGER update_causal_edge_timestamp AFTER UPDATE ON causal_edges BEGIN
  UPDATE causal_edges SET updated_at = strftime('%s', 'now') WHERE id = NEW.id; END;
";

/// agentic-flow's, which has a table of the name of one of AgentDB's.
pub(crate) const AGENTIC_FLOW: &str = "
CREATE TABLE patterns(id TEXT PRIMARY KEY, type TEXT NOT NULL, pattern_data TEXT NOT NULL, confidence REAL NOT NULL DEFAULT 0.5,
  usage_count INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, last_used TEXT);
CREATE TABLE pattern_embeddings(id TEXT PRIMARY KEY, model TEXT NOT NULL, dims INTEGER NOT NULL, vector BLOB NOT NULL,
  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, FOREIGN KEY(id) REFERENCES patterns(id) ON DELETE CASCADE);
CREATE TABLE pattern_links(src_id TEXT NOT NULL, dst_id TEXT NOT NULL, relation TEXT NOT NULL, weight REAL NOT NULL DEFAULT 1.0,
  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY(src_id, dst_id, relation),
  FOREIGN KEY(src_id) REFERENCES patterns(id) ON DELETE CASCADE, FOREIGN KEY(dst_id) REFERENCES patterns(id) ON DELETE CASCADE);
CREATE TABLE task_trajectories(task_id TEXT PRIMARY KEY, agent_id TEXT NOT NULL, query TEXT NOT NULL, trajectory_json TEXT NOT NULL,
  started_at TEXT, ended_at TEXT, judge_label TEXT, judge_conf REAL, judge_reasons TEXT, matts_run_id TEXT,
  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
";
