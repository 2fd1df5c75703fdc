// What several views show of training jobs.

import { Badge, html } from "../../parts/basics.js";

const KINDS = { queued: "", running: "busy", succeeded: "good", failed: "bad", cancelled: "warning" };

export const JobState = ({ job }) => html`<${Badge} kind=${KINDS[job.state]}>${job.state}<//>`;

export const isOpen = (job) => job.state === "queued" || job.state === "running";
