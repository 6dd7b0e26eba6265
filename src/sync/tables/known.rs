//! The tables of AgentDB (1.6 to 3.0) and of agentic-flow's ReasoningBank (2.1) that are replicated, and what their declarations
//! do not say: which columns are counted, which name a row by a word and a number, which are rewritten by triggers. Each entry
//! holds for a table that has its name and all of its columns.

/// Where a table's embeddings are.
pub(super) struct KnownEmbedding {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    pub(super) vector: &'static str,
    pub(super) model: Option<&'static str>,
    pub(super) dimensions: Option<&'static str>,
}

/// One shape of a table.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// Columns by which it is recognised.
    pub(super) columns: &'static [&'static str],
    /// The count, and the means over it.
    pub(super) counters: Option<(&'static str, &'static [&'static str])>,
    /// Columns with the number of a row in the table that another column names.
    pub(super) tagged: &'static [(&'static str, &'static str)],
    /// Times that triggers set by the local clock.
    pub(super) clocks: &'static [&'static str],
    pub(super) embedding: Option<KnownEmbedding>,
}

/// What AgentDB's words for kinds of memories stand for.
pub(super) const WORDS: &[(&str, &str)] = &[
    ("episode", "episodes"),
    ("skill", "skills"),
    ("note", "notes"),
    ("fact", "facts"),
    ("event", "events"),
    ("consolidated", "consolidated_memories"),
    ("pattern", "reasoning_patterns"),
];

const fn plain(name: &'static str, columns: &'static [&'static str]) -> Known {
    Known { name, columns, counters: None, tagged: &[], clocks: &[], embedding: None }
}

const fn agentdb_embedding(
    name: &'static str,
    key: &'static str,
    model: Option<&'static str>,
) -> Option<KnownEmbedding> {
    Some(KnownEmbedding { name, key, vector: "embedding", model, dimensions: None })
}

/// All of them.
pub(super) const KNOWN: &[Known] = &[
    Known {
        counters: Some(("uses", &["success_rate", "avg_reward"])),
        embedding: agentdb_embedding("pattern_embeddings", "pattern_id", None),
        ..plain("reasoning_patterns", &["id", "task_type", "approach", "success_rate", "uses", "avg_reward"])
    },
    Known {
        embedding: agentdb_embedding("episode_embeddings", "episode_id", Some("embedding_model")),
        ..plain("episodes", &["id", "session_id", "task", "reward", "success"])
    },
    Known {
        counters: Some(("uses", &["success_rate", "avg_reward", "avg_latency_ms"])),
        clocks: &["updated_at", "last_used_at"],
        embedding: agentdb_embedding("skill_embeddings", "skill_id", Some("embedding_model")),
        ..plain(
            "skills",
            &["id", "name", "signature", "success_rate", "uses", "avg_reward", "avg_latency_ms"],
        )
    },
    plain("skill_links", &["id", "parent_skill_id", "child_skill_id", "relationship"]),
    Known {
        tagged: &[("source_id", "source_type")],
        ..plain("facts", &["id", "subject", "predicate", "object"])
    },
    Known {
        counters: Some(("access_count", &[])),
        clocks: &["updated_at", "last_accessed_at"],
        embedding: agentdb_embedding("note_embeddings", "note_id", Some("embedding_model")),
        ..plain("notes", &["id", "title", "text", "access_count"])
    },
    plain("events", &["id", "session_id", "episode_id", "step", "content"]),
    plain("consolidated_memories", &["id", "session_id", "start_event_id", "end_event_id", "summary"]),
    Known {
        embedding: agentdb_embedding("exp_node_embeddings", "node_id", Some("embedding_model")),
        ..plain("exp_nodes", &["id", "kind", "label"])
    },
    plain("exp_edges", &["id", "src_node_id", "dst_node_id", "relationship"]),
    Known {
        tagged: &[("memory_id", "memory_type")],
        ..plain("memory_scores", &["id", "memory_type", "memory_id", "quality_score"])
    },
    Known {
        tagged: &[("memory_id", "memory_type")],
        ..plain("memory_access_log", &["id", "memory_type", "memory_id"])
    },
    plain("consolidation_runs", &["id", "job_type", "records_processed"]),
    Known {
        tagged: &[("from_memory_id", "from_memory_type"), ("to_memory_id", "to_memory_type")],
        clocks: &["updated_at"],
        ..plain(
            "causal_edges",
            &["id", "from_memory_id", "from_memory_type", "to_memory_id", "to_memory_type"],
        )
    },
    Known {
        tagged: &[("treatment_id", "treatment_type"), ("control_id", "treatment_type")],
        ..plain("causal_experiments", &["id", "name", "hypothesis", "treatment_id", "treatment_type"])
    },
    plain("causal_observations", &["id", "experiment_id", "episode_id", "outcome_value"]),
    plain("recall_certificates", &["id", "query_id", "chunk_ids", "merkle_root"]),
    Known {
        tagged: &[("source_id", "source_type")],
        ..plain("provenance_sources", &["id", "source_type", "source_id", "content_hash"])
    },
    plain("justification_paths", &["id", "certificate_id", "chunk_id", "reason"]),
    plain("learning_experiences", &["id", "session_id", "state", "action", "reward"]),
    plain("learning_sessions", &["id", "user_id", "session_type", "config"]),
    plain("learning_policies", &["id", "session_id", "state_action_pairs", "q_values"]),
    plain("learning_state_embeddings", &["id", "session_id", "state", "embedding"]),
    // agentic-flow.
    Known {
        counters: Some(("usage_count", &[])),
        embedding: Some(KnownEmbedding {
            name: "pattern_embeddings",
            key: "id",
            vector: "vector",
            model: Some("model"),
            dimensions: Some("dims"),
        }),
        ..plain("patterns", &["id", "type", "pattern_data", "confidence", "usage_count"])
    },
    plain("pattern_links", &["src_id", "dst_id", "relation", "weight"]),
    plain("task_trajectories", &["task_id", "agent_id", "query", "trajectory_json"]),
    plain("matts_runs", &["run_id", "task_id", "mode", "k"]),
    plain("consolidation_runs", &["run_id", "items_processed", "duplicates_found"]),
];
