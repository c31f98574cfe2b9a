using System.Diagnostics;

namespace Paravane.Peers;

/// <summary>Waits for a program to listen, without connecting: many back-ends serve one front-end only.</summary>
public static class ListeningSocket
{
    private const string AcceptsConnections = "00010000";     // __SO_ACCEPTCON in the column Flags of /proc/net/unix

    /// <summary>Waits until a socket at <paramref name="path"/> listens.</summary>
    public static void WaitFor(string path, ChildProcess owner, TimeSpan patience)
    {
        var watch = Stopwatch.StartNew();
        while (!Exists(path))
        {
            if (owner.HasExited || watch.Elapsed > patience)
                throw new PeerException($"{owner.Name} does not listen on {path}:\n{owner.Transcript}");
            Thread.Sleep(2);
        }
    }

    private static bool Exists(string path)
    {
        foreach (string line in File.ReadLines("/proc/net/unix"))
        {
            if (line.EndsWith(' ' + path, StringComparison.Ordinal) && line.Contains(AcceptsConnections, StringComparison.Ordinal))
                return true;
        }

        return false;
    }
}
