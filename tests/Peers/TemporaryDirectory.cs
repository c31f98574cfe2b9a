namespace Paravane.Peers;

/// <summary>A directory for sockets and images of one test or measurement, removed with all its content when disposed.</summary>
public sealed class TemporaryDirectory : IDisposable
{
    private readonly DirectoryInfo _directory;

    private TemporaryDirectory(DirectoryInfo directory) => _directory = directory;

    /// <summary>Makes a directory with a name that nobody else uses. It is short: the path of a socket has room for 107 bytes.</summary>
    public static TemporaryDirectory Create() => new(Directory.CreateTempSubdirectory("pv-"));

    /// <summary>Makes a directory on tmpfs.</summary>
    public static TemporaryDirectory CreateOnTmpfs() =>
        new(Directory.CreateDirectory(Path.Combine("/dev/shm", "pv-" + Path.GetRandomFileName())));

    /// <summary>Path of a file in the directory.</summary>
    public string File(string name) => Path.Combine(_directory.FullName, name);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_directory.Exists)
            _directory.Delete(recursive: true);
    }
}
