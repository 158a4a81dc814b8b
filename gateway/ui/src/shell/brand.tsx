/** Mark is the product's shield. */
export function Mark({ className = "mark" }: { className?: string }) {
  return (
    <svg className={className} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path className="mark-ground" d="M16 1.5 28 6v9.4c0 7.2-4.9 12.4-12 15.1C8.9 27.8 4 22.6 4 15.4V6z" />
      <path className="mark-check" d="m10.5 15.8 4 4 7.2-7.8" />
    </svg>
  );
}

export function Wordmark() {
  return (
    <span className="wordmark">
      <Mark />
      <span>
        RealGuard<span className="wordmark-io">IO</span>
      </span>
    </span>
  );
}
