using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Legacy;

/// <summary>The guest's console at this end: the terminal of this process (or whatever its standard input and output are), or a file without input.</summary>
/// <remarks>The owner's thread. Make it, give <see cref="Output"/> to a <see cref="Serial16550"/>, then <see cref="Connect"/> the two.</remarks>
internal sealed class GuestConsole : IDisposable
{
    private const int StandardInput = 0, StandardOutput = 1;

    private readonly FileDescriptor? _input;
    private readonly ConsoleOutput _output;
    private TerminalMode? _mode;
    private ConsoleInput? _reader;

    private GuestConsole(FileDescriptor? input, ConsoleOutput output)
    {
        _input = input;
        _output = output;
    }

    /// <summary>Where the guest writes.</summary>
    public IConsoleOutput Output => _output;

    /// <summary>Bytes of output that were dropped because nobody took them.</summary>
    public long DroppedBytes => _output.DroppedBytes;

    /// <summary>Standard input and output; a terminal goes into raw mode in <see cref="Connect"/>.</summary>
    /// <exception cref="LinuxException">No descriptor is left.</exception>
    public static GuestConsole OnStandardStreams() => On(StandardInput, StandardOutput);

    /// <summary>The same on other numbers. One that came closed, and may be the runtime's by now, gives no input and takes no output.</summary>
    internal static GuestConsole On(int input, int output)
    {
        ConsoleOutput target = StandardStream.IsInherited(output) ? new ConsoleOutput(Duplicate(output)) : ConsoleOutput.IntoFile("/dev/null");
        return new GuestConsole(StandardStream.IsInherited(input) ? Duplicate(input) : null, target);
    }

    /// <summary>A file that is made or emptied; there is no input.</summary>
    /// <exception cref="LinuxException">It cannot be opened.</exception>
    public static GuestConsole IntoFile(string path) => new(input: null, ConsoleOutput.IntoFile(path));

    /// <summary>Begins to read: from now on a terminal is in raw mode, and each key but Ctrl-A X goes to the guest, Ctrl-C too.</summary>
    /// <param name="port">Gets the input.</param>
    /// <param name="leave">Called once, on the reading thread, when Ctrl-A X was typed: must return at once.</param>
    /// <exception cref="LinuxException">The terminal cannot be set.</exception>
    public void Connect(Serial16550 port, Action leave)
    {
        if (_input is null)
        {
            return;
        }

        if (TerminalMode.IsTerminal(_input.Number))
        {
            _mode = TerminalMode.MakeRaw(_input.Number);
        }

        _reader = new ConsoleInput(_input.Duplicate(), port, leave);
    }

    /// <summary>Stops reading, writes what is left (for a second at most where nobody takes it), and gives the terminal back.</summary>
    public void Dispose()
    {
        _reader?.Dispose();
        _output.Dispose();
        _mode?.Dispose();
        _input?.Dispose();
    }

    private static FileDescriptor Duplicate(int fd) =>
        new(FileDescriptor.Check(LibC.fcntl(fd, LibC.F_DUPFD_CLOEXEC, StandardStream.Error + 1), "fcntl"));
}
