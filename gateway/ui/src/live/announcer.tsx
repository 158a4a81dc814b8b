import { createContext, useCallback, useContext, useState, type ReactNode } from "react";

const AnnouncerContext = createContext<(text: string) => void>(() => {});

/** useAnnounce returns a function that has screen readers say something which others see change on the page. */
export function useAnnounce(): (text: string) => void {
  return useContext(AnnouncerContext);
}

export function Announcer({ children }: { children: ReactNode }) {
  const [said, setSaid] = useState({ text: "", turn: 0 });
  const announce = useCallback((text: string) => setSaid((last) => ({ text, turn: last.turn + 1 })), []);
  return (
    <AnnouncerContext.Provider value={announce}>
      {children}
      <div className="visually-hidden" role="status" aria-live="polite">
        {/* A new element each time: the same sentence said twice is read twice. */}
        <p key={said.turn}>{said.text}</p>
      </div>
    </AnnouncerContext.Provider>
  );
}
