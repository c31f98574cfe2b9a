using System.Text;

namespace Paravane.Peers;

/// <summary>Writes an initramfs archive, cpio «newc» (Linux Documentation/driver-api/early-userspace/buffer-format.rst).</summary>
public sealed class CpioWriter(Stream stream) : IDisposable
{
    private const uint DirectoryMode = 0x4000 | 0x1ED;   // S_IFDIR | 0755
    private const uint ProgramMode = 0x8000 | 0x1ED;     // S_IFREG | 0755
    private const uint LinkMode = 0xA000 | 0x1FF;        // S_IFLNK | 0777

    private readonly HashSet<string> _directories = [];
    private uint _inode = 1;

    /// <summary>Adds a file which may be executed, and the directories above it.</summary>
    public void AddFile(string path, ReadOnlySpan<byte> content)
    {
        AddParents(path);
        Add(path, ProgramMode, content);
    }

    /// <summary>Adds a symbolic link.</summary>
    public void AddLink(string path, string target)
    {
        AddParents(path);
        Add(path, LinkMode, Encoding.UTF8.GetBytes(target));
    }

    /// <summary>Adds a directory and those above it.</summary>
    public void AddDirectory(string path)
    {
        if (path.Length > 0 && _directories.Add(path))
        {
            AddParents(path);
            Add(path, DirectoryMode, []);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Add("TRAILER!!!", 0, []);

    private void AddParents(string path)
    {
        int slash = path.LastIndexOf('/');
        if (slash > 0)
        {
            AddDirectory(path[..slash]);
        }
    }

    private void Add(string path, uint mode, ReadOnlySpan<byte> content)
    {
        byte[] name = Encoding.UTF8.GetBytes(path + "\0");
        // magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
        string header = $"070701{_inode++:X8}{mode:X8}{0:X8}{0:X8}{1:X8}{0:X8}{content.Length:X8}{0:X8}{0:X8}{0:X8}{0:X8}{name.Length:X8}{0:X8}";
        stream.Write(Encoding.ASCII.GetBytes(header));
        stream.Write(name);
        Pad(header.Length + name.Length);
        stream.Write(content);
        Pad(content.Length);
    }

    private void Pad(int lengthBytes) => stream.Write("\0\0\0"u8[..(-lengthBytes & 3)]);
}
