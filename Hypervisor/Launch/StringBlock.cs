using System.Runtime.InteropServices;
using System.Text;

namespace Paravane.Hypervisor.Launch;

/// <summary>A null-terminated array of C strings, as <c>argv</c> and <c>envp</c> are.</summary>
internal sealed unsafe class StringBlock : IDisposable
{
    private readonly int _count;

    /// <summary>Copies <paramref name="texts"/> as UTF-8.</summary>
    public StringBlock(IEnumerable<string> texts)
    {
        string[] all = [.. texts];
        _count = all.Length;
        Pointers = (byte**)NativeMemory.AllocZeroed((nuint)(_count + 1), (nuint)sizeof(byte*));
        for (int i = 0; i < _count; i++)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(all[i]);
            Pointers[i] = (byte*)NativeMemory.AllocZeroed((nuint)bytes.Length + 1);
            bytes.CopyTo(new Span<byte>(Pointers[i], bytes.Length));
        }
    }

    /// <summary>The array; its last entry is null.</summary>
    public byte** Pointers { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        for (int i = 0; i < _count; i++)
        {
            NativeMemory.Free(Pointers[i]);
        }

        NativeMemory.Free(Pointers);
    }
}
